/** What each command is mostly called with, for its help and docs/cli.md. */
import type { CommandName } from './row.ts';

export const examples: Readonly<Partial<Record<CommandName, readonly string[]>>> = {
  start: [
    '--model S --ngpus 2 --data-path /data/imagenet -o runs/s',
    '--resume -o runs/s',
    '--config runs/s/config.json --seed 1 -o runs/s-seed1',
  ],
  validate: [
    '--weights runs/s:best --data-path /data/imagenet',
    '--model S --weights pretrained --data-path /data/imagenet',
  ],
  test: [
    '--weights runs/s:best --data-path stimuli -o features',
    '--model S --weights pretrained --layer IT --data-path stimuli -o features',
  ],
  predict: [
    '--weights runs/s:best --data-path photos -o predictions',
    '--model S --weights pretrained --data-path photos --top-k 1 -o out',
  ],
  data: ['--data-path /data/imagenet --duplicates', '--data-path /data/imagenet --contact-sheet sheet.png'],
  export: [
    'runs/s:best s.pth.tar',
    'runs/s:best s.onnx --tap V4.output,IT.output',
    '--hub runs/s:best s-hub',
    '--brain-score runs/s:best cornet_s_mylab',
  ],
  report: ['runs/s -o s.svg', 'runs/s-seed0 runs/s-seed1 runs/s-seed2 -o seeds.html'],
};
