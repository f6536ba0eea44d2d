/** What stands between a libtorch and a GPU: how it was built, the driver, the kernels that it has. */
import { CornetError, errorTable } from '../../../shared/errors.ts';
import { dtypes, type TorchAddon } from './addon.ts';

/** The driver that a CUDA's first digits need at least. */
const neededDriver: Record<string, number> = { 12: 525, 13: 580 };

/**
 * The CUDA that libtorch was built with, `13.0`; null: none. The build's settings tell it without a driver.
 * @param configuration what `buildConfiguration` of the addon returns
 */
export function cudaVersion(configuration: string): string | null {
  const words = /\bCUDA_VERSION=([\d.]+)/.exec(configuration) ?? /CUDA Runtime ([\d.]+)/.exec(configuration);
  return words?.[1] ?? null;
}

/** Why this libtorch can use no GPU, in its own words where it was built for GPUs; null: it can. */
export function gpusProblem(
  addon: Pick<TorchAddon, 'hasCuda' | 'buildConfiguration' | 'upload' | 'release'>,
): { message: string; hint: string } | null {
  if (addon.hasCuda()) return null;
  const cuda = cudaVersion(addon.buildConfiguration());
  if (cuda === null) {
    return { message: 'it was built without CUDA.', hint: errorTable.DEVICE_UNAVAILABLE.remedy };
  }
  try {
    addon.release([addon.upload(new Uint8Array(4), dtypes.float32, [1], 'cuda:0')]);
    return null;
  } catch (error) {
    const message = firstSentence(error);
    const needed = neededDriver[cuda.split('.')[0]!];
    const since = needed === undefined ? '' : `: CUDA ${cuda} needs ${needed} or newer`;
    const hint = /driver/i.test(message)
      ? `Install or update the NVIDIA driver${since}. A container must be given the GPUs. The CPU trains meanwhile: --ngpus 0.`
      : 'Choose another device: nvidia-smi lists them. CUDA_VISIBLE_DEVICES may hide some.';
    return { message, hint };
  }
}

/** A GPU that refuses its first tensor cannot be had; what is known better keeps its code. */
export function firstTensorFailed(addon: TorchAddon, device: string, error: unknown): unknown {
  if (!(error instanceof CornetError) || error.code !== 'TENSOR_OPERATION') return error;
  const libtorch = `libtorch ${addon.version()} for CUDA ${cudaVersion(addon.buildConfiguration())}`;
  const message = `${libtorch} cannot use ${device}: ${firstSentence(error)}`;
  const hint = 'Choose another device: nvidia-smi lists them, and what else uses them.';
  return new CornetError('DEVICE_UNAVAILABLE', message, { cause: error, hint });
}

/** Without the advice that libtorch adds, on where to download and how to debug. */
function firstSentence(error: unknown): string {
  const { message } =
    error instanceof CornetError && error.cause instanceof Error ? error.cause : (error as Error);
  const [sentence] = message.split('\n', 1)[0]!.split(/\. (?=[A-Z])/);
  return `${sentence!.replace(/\.$/, '')}.`;
}
