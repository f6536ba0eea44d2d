/** What the demo trains with: small enough for two CPU cores, long enough to learn ten textures. */
export const demoRecipe = {
  model: 'Z',
  cpuWorkers: 2,
  imageSize: 64,
  batchSize: 32,
  epochs: 6,
  learningRate: 0.01,
  stepSize: 5,
  saveValEpochs: 1,
} as const;

export const demoImages = { seed: 1, trainPerClass: 150, valPerClass: 30 } as const;
