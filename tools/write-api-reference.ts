import { writeFileSync } from 'node:fs';
import { apiReference, references } from './api-reference.ts';

for (const reference of references) writeFileSync(reference.path, apiReference(reference));
