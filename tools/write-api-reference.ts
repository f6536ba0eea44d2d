import { writeFileSync } from 'node:fs';
import { apiReference, apiReferencePath } from './api-reference.ts';

writeFileSync(apiReferencePath, apiReference());
