import { customTests } from './custom-suite.ts';
import { engineTests } from './engine-suite.ts';
import { framesTests } from './frames-suite.ts';
import { freezeTests } from './freeze-suite.ts';
import { operationTests } from './operation-suite.ts';
import { recipeTests } from './recipe-suite.ts';

operationTests('torch', 'channels-last');
operationTests('torch', 'contiguous');
recipeTests('torch');
engineTests('torch', ['fp32', 'bf16']);
freezeTests('torch');
framesTests('torch');
customTests('torch', ['fp32', 'bf16']);
