export default {
  files: ['dist/test/**/*.test.js'],
  workerThreads: false, // the native addon belongs to one process
  concurrency: 2,
  timeout: '10m',
  environmentVariables: {
    OMP_WAIT_POLICY: 'passive', // two test files share the cores: threads that spin would take them from the others
    GLIBC_TUNABLES: 'glibc.malloc.mmap_threshold=4294967296:glibc.malloc.trim_threshold=17179869184',
  },
};
