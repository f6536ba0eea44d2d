/** Where the tests of operations, engine and models compute: CORNET_TEST_DEVICE=cuda:0 takes them to a GPU. */
export const testDevice: string = process.env.CORNET_TEST_DEVICE ?? 'cpu';
