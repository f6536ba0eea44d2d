/** PyTorch's SGD out of the operations that every backend has. */
import type { Tensor } from '../../shared/models/ops.ts';
import type { Backend, SgdOptions } from './backend.ts';

/**
 * torch.optim.SGD with dampening 0, on flat tensors; overwrites the gradient. With g the gradient plus weightDecay · p, and
 * m the momentum buffer: m ← momentum · m + g, then p ← p − learningRate · m; with Nesterov m makes way for
 * g + momentum · m in the last.
 */
export function sgdByParts<T extends Tensor>(
  backend: Pick<Backend<T>, 'accumulate' | 'scale'>,
  { parameters, gradient, momentum }: { parameters: T; gradient: T; momentum: T },
  options: SgdOptions,
): void {
  if (options.weightDecay !== 0) backend.accumulate(gradient, parameters, options.weightDecay);
  backend.scale(momentum, options.momentum);
  backend.accumulate(momentum, gradient, 1);
  if (options.nesterov) backend.accumulate(gradient, momentum, options.momentum);
  backend.accumulate(parameters, options.nesterov ? gradient : momentum, -options.learningRate);
}
