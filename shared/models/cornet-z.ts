/** CORnet-Z (Kubilius et al. 2018): four feed-forward areas, each a convolution, ReLU and max pooling. */
import { conv2d, linear, stateEntries } from './layers.ts';
import type { Model } from './model.ts';
import type { Tensor } from './ops.ts';
import type { Pass } from './pass.ts';

const areas = [
  { name: 'V1', conv: conv2d('V1.conv', 3, 64, 7, { stride: 2, init: 'xavier' }) },
  { name: 'V2', conv: conv2d('V2.conv', 64, 128, 3, { init: 'xavier' }) },
  { name: 'V4', conv: conv2d('V4.conv', 128, 256, 3, { init: 'xavier' }) },
  { name: 'IT', conv: conv2d('IT.conv', 256, 512, 3, { init: 'xavier' }) },
];

function area<T extends Tensor>(pass: Pass<T>, { name, conv }: (typeof areas)[number], input: T): T {
  return pass.ops.scope(() => {
    const x = pass.reluMaxPool(`${name}.nonlin`, `${name}.pool`, pass.conv2d(conv, input));
    return pass.tap(`${name}.output`, x);
  });
}

/** @param head outputs of the decoder */
export function cornetZ(head: number): Model {
  const decoder = linear('decoder.linear', 512, head, 'xavier');
  return {
    name: 'Z',
    entries: [...areas.map(({ conv }) => conv), decoder].flatMap(stateEntries),
    norms: [],

    forward<T extends Tensor>(pass: Pass<T>, images: T): T {
      return pass.ops.scope(() => {
        let x = images;
        for (const each of areas) x = area(pass, each, x);
        return pass.decoder(decoder, x);
      });
    },
  };
}
