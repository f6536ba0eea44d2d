import { whereSetUp } from '../helpers/tensorflow.ts';
import { engineTests } from './engine-suite.ts';
import { framesTests } from './frames-suite.ts';
import { freezeTests } from './freeze-suite.ts';
import { operationTests } from './operation-suite.ts';
import { recipeTests } from './recipe-suite.ts';

whereSetUp(() => {
  operationTests('tensorflow');
  recipeTests('tensorflow');
  engineTests('tensorflow', ['fp32']);
  freezeTests('tensorflow');
  framesTests('tensorflow');
});
