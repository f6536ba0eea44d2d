/** Redis is away: there is no way to it, it refuses commands, or it stands still. Plain data, for every viewer. */
export interface Outage {
  how: 'lost' | 'refused' | 'silent';
  /** For how long. */
  seconds: number;
}
