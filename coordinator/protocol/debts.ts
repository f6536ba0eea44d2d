/** What a worker keeps the run waiting for. */

export type Owed =
  /** The vectors of these lanes, in the order in which it computes them. */
  | { what: 'vectors'; lanes: number[] }
  /** The vector of a lane that another worker has computed already, to compare the two. */
  | { what: 'audit'; lane: number }
  /** Its slice of the sum over the lanes. */
  | { what: 'slice' }
  | { what: 'update' }
  /** To publish the state, or to load it. */
  | { what: 'snapshot' }
  | { what: 'loading' }
  /** A batch of a round. */
  | { what: 'validation' }
  | { what: 'features' };

export interface Debt {
  readonly worker: string;
  readonly owes: Owed;
}

/** What is owed, as a part of a sentence. */
export function describeOwed(owed: Owed): string {
  switch (owed.what) {
    case 'vectors':
      return `the ${owed.lanes.length === 1 ? 'vector of lane' : 'vectors of lanes'} ${owed.lanes.join(', ')}`;
    case 'audit':
      return `the vector of lane ${owed.lane}, once more`;
    case 'slice':
      return 'its slice';
    case 'update':
      return 'the update';
    case 'snapshot':
      return 'the snapshot';
    case 'loading':
      return 'loading the snapshot';
    case 'validation':
      return 'a validation batch';
    case 'features':
      return 'a batch of features';
  }
}
