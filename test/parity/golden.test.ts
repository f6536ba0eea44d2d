import { goldenTests } from './golden-suite.ts';

goldenTests('torch');
