/** `completion bash|zsh`: a script with which a shell completes commands, options and their values. */
import { type Command, Option } from 'commander';

const shells = ['bash', 'zsh'] as const;
type Shell = (typeof shells)[number];

/** Adds the command that prints the script for all commands of the program. */
export function addCompletion(program: Command): void {
  program
    .command('completion')
    .description(`Print a script that completes this command: source <(${program.name()} completion bash)`)
    .argument('<shell>', shells.join(' or '))
    .action((shell: string) => {
      process.stdout.write(completionScript(program, shell as Shell));
    });
  const [shell] = program.commands.at(-1)!.registeredArguments;
  shell!.choices(shells);
}

/**
 * Made of the words that the program knows. An option whose value nobody can list is left to the shell, which completes
 * the names of files.
 */
export function completionScript(program: Command, shell: Shell): string {
  const name = program.name();
  const bash = `_${name}() {
  local cur="\${COMP_WORDS[COMP_CWORD]}" prev="\${COMP_WORDS[COMP_CWORD-1]}" words=""
  COMPREPLY=()
  if [ "$COMP_CWORD" -eq 1 ]; then
    words="${[...program.commands.map((command) => command.name()), '--help', '--version'].join(' ')}"
  else
    case "\${COMP_WORDS[1]} $prev" in
${program.commands.flatMap(valuesOf).join('\n')}
    *)
      case "\${COMP_WORDS[1]} $cur" in
${program.commands.flatMap(flagsOf).join('\n')}
      esac
      ;;
    esac
  fi
  if [ -n "$words" ]; then
    COMPREPLY=( $(compgen -W "$words" -- "$cur") )
  fi
}
complete -o bashdefault -o default -F _${name} ${name}
`;
  if (shell === 'bash') return bash;
  return `autoload -Uz compinit bashcompinit\ncompinit\nbashcompinit\n${bash}`;
}

/** What can follow an option that takes a value. */
function valuesOf(command: Command): string[] {
  return command.options
    .filter(({ required, optional }) => required || optional)
    .map((option) => {
      const patterns = namesOf(option).map((flag) => `"${command.name()} ${flag}"`);
      return `    ${patterns.join('|')}) words="${option.argChoices?.join(' ') ?? ''}" ;;`;
    });
}

/** What can stand where no value is due: options, or the choices of an argument. */
function flagsOf(command: Command): string[] {
  const flags = [...command.options, new Option('-h, --help')].flatMap(namesOf);
  const choices = command.registeredArguments.flatMap(({ argChoices }) => argChoices ?? []);
  const name = command.name();
  return [
    `      "${name} -"*) words="${flags.join(' ')}" ;;`,
    ...(choices.length === 0 ? [] : [`      "${name} "*) words="${choices.join(' ')}" ;;`]),
  ];
}

function namesOf({ flags }: Option): string[] {
  return flags.match(/(?<![\w-])--?[a-z][\w-]*/g) ?? [];
}
