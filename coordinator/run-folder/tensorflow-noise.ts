/** What TensorFlow says of itself on standard error: how it was built, which instructions it uses, which GPUs it sees. */

const noise = [
  /^[IWE]\d{4} \d+:\d+:[\d.]+ +\d+ \S+:\d+\] /, // absl: I0000 00:00:1795426671.773923   30320 port.cc:153] …
  /^\d{4}-\d\d-\d\d [\d:.]+: [IWE] /, // before TensorFlow 2.17: 2022-05-16 10:00:00.123456: I tensorflow/core/…
  /^WARNING: All log messages before absl::InitializeLog\(\) is called/,
  /^To enable the following instructions: /,
];

/** Whether a worker's line is such noise. An error that matters is an operation's answer as well. */
export function isNoise(line: string): boolean {
  return noise.some((pattern) => pattern.test(line));
}
