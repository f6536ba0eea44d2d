import { engineTests } from './engine-suite.ts';
import { operationTests } from './operation-suite.ts';

operationTests('torch');
engineTests('torch', ['fp32', 'bf16']);
