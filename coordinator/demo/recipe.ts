/** What the demo trains with: small enough for two CPU cores, long enough to learn ten textures. */
export const demoRecipe = {
  model: 'Z',
  cpuWorkers: 2,
  imageSize: 64,
  batchSize: 64,
  epochs: 12,
  learningRate: 0.02,
  stepSize: 9,
  saveValEpochs: 2,
} as const;

export const demoImages = { seed: 1, trainPerClass: 150, valPerClass: 30 } as const;
