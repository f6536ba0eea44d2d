export default {
  files: ['dist/test/**/*.test.js'],
  workerThreads: false, // the native addon belongs to one process
  concurrency: 2,
  timeout: '10m',
  // Two test files share the cores: threads that spin would take them from the others.
  environmentVariables: { OMP_WAIT_POLICY: 'passive' },
};
