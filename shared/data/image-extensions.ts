/** What torchvision's ImageFolder takes for an image, whatever the case. */
export const imageExtensions = /\.(?:jpe?g|png|ppm|bmp|pgm|tiff?|webp)$/i;
