/** What TensorFlow says of itself on standard error: how it was built, which instructions it uses, which cards it sees. */

const chatter = [
  /^[IWE]\d{4} \d+:\d+:[\d.]+ +\d+ \S+:\d+\] /, // absl: I0000 00:00:1795426671.773923   30320 port.cc:153] …
  /^\d{4}-\d\d-\d\d [\d:.]+: [IWE] /, // before TensorFlow 2.17: 2022-05-16 10:00:00.123456: I tensorflow/core/…
  /^WARNING: All log messages before absl::InitializeLog\(\) is called/,
  /^To enable the following instructions: /,
];

/** Whether a worker's line is such a one. An error that matters comes as the answer of an operation, too. */
export function isChatter(line: string): boolean {
  return chatter.some((pattern) => pattern.test(line));
}
