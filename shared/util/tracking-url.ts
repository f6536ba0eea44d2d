/** The address of an MLflow server: one that can be shown, since command lines and logs show it. */
import { quoteName, shortened } from './printable.ts';

/** Characters of a text that is refused, as it is quoted. */
const shownOfRefused = 80;

const credentials = 'MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD';

/** What is wrong with a text that is to be one, as a sentence without its full stop; null: nothing. */
export function mistakenTrackingUrl(text: string): { why: string; hint: string } | null {
  const url = URL.canParse(text) ? new URL(text) : null;
  if (url === null || !['http:', 'https:'].includes(url.protocol)) {
    const withoutSecret = text.replace(/:\/\/.*/s, '://***');
    return {
      why: `${quoteName(shortened(withoutSecret, shownOfRefused))} is no address of an MLflow server`,
      hint: 'Write it as http://127.0.0.1:5000 or https://mlflow.example.org.',
    };
  }
  if (url.username !== '' || url.password !== '') {
    return {
      why: 'the address has a user name or a password in it, which command lines and logs would show',
      hint: `Put them into the environment: ${credentials}.`,
    };
  }
  if (url.search === '' && url.hash === '') return null;
  return {
    why: 'the address has something behind its path, which a server of MLflow does not need',
    hint: `Leave out what begins with ? or #. A secret goes into the environment: ${credentials}.`,
  };
}

/** Paths are put behind it. */
export function normalisedTrackingUrl(text: string): string {
  return URL.canParse(text) ? new URL(text).href.replace(/\/+$/, '') : text;
}
