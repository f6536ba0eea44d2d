import { pino } from 'pino';

/** What the lines of every log have in common: the time in ISO 8601, and the level as a word. */
export const logFormat = {
  timestamp: pino.stdTimeFunctions.isoTime,
  formatters: { level: (level: string) => ({ level }) },
};
