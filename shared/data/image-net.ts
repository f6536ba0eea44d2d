/** Mean and deviation of ImageNet's training images per channel, in units of the full range (torchvision). */
export const imageNet = { mean: [0.485, 0.456, 0.406], deviation: [0.229, 0.224, 0.225] };
