export default {
  files: ['dist/test/**/*.test.js'],
  workerThreads: false, // the native addon belongs to one process
  concurrency: 2,
  timeout: '10m',
};
