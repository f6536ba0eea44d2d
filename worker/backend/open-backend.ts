/** The tensor libraries by name. */

import type { Tensor } from '../../shared/models/ops.ts';
import type { BackendName } from '../../shared/run-config.ts';
import type { Arithmetic, Backend } from './backend.ts';
import { TensorflowBackend } from './tensorflow/tensorflow-backend.ts';
import { TorchBackend } from './torch/torch-backend.ts';

/**
 * @param device `cpu` or `cuda:<index>`
 * @throws CornetError BACKEND_UNAVAILABLE when the library cannot be loaded, DEVICE_UNAVAILABLE when it does not know
 * the device, OPTION_INVALID for a precision that the device does not have
 */
export function openBackend(name: BackendName, device: string, arithmetic: Arithmetic): Backend<Tensor> {
  switch (name) {
    case 'torch':
      return new TorchBackend(device, arithmetic);
    case 'tensorflow':
      return new TensorflowBackend(device, arithmetic.threads);
  }
}
