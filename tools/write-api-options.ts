import { writeFileSync } from 'node:fs';
import { apiOptions, apiOptionsPath } from './api-options.ts';

writeFileSync(apiOptionsPath, apiOptions());
