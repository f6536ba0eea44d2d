/** `/service-discovery`: all that is to be scraped, for Prometheus' http_sd_config. */
import { hostname } from 'node:os';
import { type Route, respond } from '../../shared/process/http-server.ts';
import type { Hello } from '../../shared/wire/protocol.ts';
import { shareNetwork, socketNamespace } from '../../shared/wire/socket-folder.ts';

export interface TargetGroup {
  targets: string[];
  labels: Record<string, string>;
}

/**
 * The coordinator is found under the address that it was asked under, a worker under the one that it announced.
 * @param workers of the moment
 * @param here this host, as its own `hello` would name it
 */
export function targetGroups(
  asked: string,
  run: string,
  workers: readonly { id: string; hello: Pick<Hello, 'host' | 'place' | 'metrics' | 'numerics'> }[],
  here: Pick<Hello, 'host' | 'place'>,
): TargetGroup[] {
  const coordinator = {
    targets: [asked],
    labels: { role: 'coordinator', __meta_cornet_run: run, __meta_cornet_host: here.host },
  };
  const others = workers.flatMap(({ id, hello }) => {
    const isHere = shareNetwork(hello.place, here.place);
    if (hello.metrics === undefined || !isReachable(hello.metrics, isHere)) return [];
    const labels = {
      role: 'worker',
      __meta_cornet_run: run,
      __meta_cornet_host: hello.host,
      __meta_cornet_worker: id,
      __meta_cornet_device: hello.numerics.device,
    };
    return [{ targets: [hello.metrics], labels }];
  });
  return [coordinator, ...others];
}

/** Another machine's 127.0.0.1 would be this one's. */
function isReachable(address: string, isHere: boolean): boolean {
  return isHere || !/^(127\.|localhost:|\[::1\])/.test(address);
}

/** @param address of the coordinator, for a client that does not say whom it asks */
export function serviceDiscovery(
  address: string,
  run: string,
  workers: () => Parameters<typeof targetGroups>[2],
): Route {
  const here = { host: hostname(), place: socketNamespace() };
  return {
    method: 'GET',
    path: '/service-discovery',
    handler: ({ message }, response) => {
      const groups = targetGroups(message.headers.host ?? address, run, workers(), here);
      respond(response, 200, JSON.stringify(groups), 'application/json');
    },
  };
}
