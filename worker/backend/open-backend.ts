/** The tensor libraries by name. */

import type { Tensor } from '../../shared/models/ops.ts';
import type { BackendName } from '../../shared/run-config.ts';
import type { Backend } from './backend.ts';
import { TensorflowBackend } from './tensorflow/tensorflow-backend.ts';
import { TorchBackend } from './torch/torch-backend.ts';

/**
 * @param device `cpu` or `cuda:<index>`
 * @param threads that one operator may use
 * @throws CornetError BACKEND_UNAVAILABLE when the library cannot be loaded, DEVICE_UNAVAILABLE when it does not know
 * the device
 */
export function openBackend(name: BackendName, device: string, threads: number): Backend<Tensor> {
  switch (name) {
    case 'torch':
      return new TorchBackend(device, threads);
    case 'tensorflow':
      return new TensorflowBackend(device, threads);
  }
}
