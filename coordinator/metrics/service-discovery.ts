/** `/service-discovery`: all that is to be scraped, for Prometheus' http_sd_config. */
import { hostname } from 'node:os';
import { type Route, respond } from '../../shared/http-server.ts';
import type { Hello } from '../../shared/protocol.ts';

export interface TargetGroup {
  targets: string[];
  labels: Record<string, string>;
}

/**
 * The coordinator is found under the address that it was asked under, a worker under the one that it announced.
 * @param workers of the moment
 * @param here the name of this host
 */
export function targetGroups(
  asked: string,
  run: string,
  workers: readonly { id: string; hello: Pick<Hello, 'host' | 'metrics' | 'numerics'> }[],
  here: string,
): TargetGroup[] {
  const coordinator = {
    targets: [asked],
    labels: { role: 'coordinator', __meta_cornet_run: run, __meta_cornet_host: here },
  };
  const others = workers.flatMap(({ id, hello }) => {
    const target = reachable(hello, here);
    if (target === null) return [];
    const labels = {
      role: 'worker',
      __meta_cornet_run: run,
      __meta_cornet_host: hello.host,
      __meta_cornet_worker: id,
      __meta_cornet_device: hello.numerics.device,
    };
    return [{ targets: [target], labels }];
  });
  return [coordinator, ...others];
}

/** Where a worker's metrics are from elsewhere; null: nowhere. */
function reachable({ host, metrics }: Pick<Hello, 'host' | 'metrics'>, here: string): string | null {
  if (metrics === undefined) return null;
  const colon = metrics.lastIndexOf(':');
  const [name, port] = [metrics.slice(0, colon), metrics.slice(colon + 1)];
  if (name === '0.0.0.0' || name === '[::]') return `${host}:${port}`;
  const loopback = name === 'localhost' || name === '[::1]' || name.startsWith('127.');
  return loopback && host !== here ? null : metrics; // another machine's 127.0.0.1 would be this one's
}

/** @param address of the coordinator, for a client that does not say whom it asks */
export function serviceDiscovery(
  address: string,
  run: string,
  workers: () => Parameters<typeof targetGroups>[2],
): Route {
  return {
    method: 'GET',
    path: '/service-discovery',
    handler: ({ message }, response) => {
      const groups = targetGroups(message.headers.host ?? address, run, workers(), hostname());
      respond(response, 200, JSON.stringify(groups), 'application/json');
    },
  };
}
