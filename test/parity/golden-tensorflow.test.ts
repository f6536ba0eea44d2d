import { whereSetUp } from '../helpers/tensorflow.ts';
import { goldenTests } from './golden-suite.ts';

whereSetUp(() => goldenTests('tensorflow'));
