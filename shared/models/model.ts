/** What a model of the family is, as seen by both sides: names and shapes, no tensor. */
export const modelNames = ['Z', 'R', 'RT', 'S'] as const;
export type ModelName = (typeof modelNames)[number];
