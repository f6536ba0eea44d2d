import { execFileSync } from 'node:child_process';
import { join } from 'node:path';

/** Files. */
export interface Certificates {
  ca: string;
  certificate: string;
  key: string;
}

/**
 * A CA of one's own, and a server's certificate that it signed.
 * @param subject `DNS:localhost`, `IP:192.0.2.1`
 */
export function makeCertificates(folder: string, subject: string): Certificates {
  const at = (name: string) => join(folder, name);
  const request = ['req', '-x509', '-nodes', '-days', '2', '-newkey', 'ec'];
  const curve = ['-pkeyopt', 'ec_paramgen_curve:P-256'];
  const make = (name: string, ...options: string[]) => {
    const files = ['-keyout', at(`${name}.key`), '-out', at(`${name}.pem`)];
    execFileSync('openssl', [...request, ...curve, ...files, ...options], { stdio: 'pipe' });
  };
  make('ca', '-subj', '/CN=a CA of our own');
  make(
    'server',
    ...['-subj', '/CN=a server', '-addext', `subjectAltName=${subject}`],
    ...['-CA', at('ca.pem'), '-CAkey', at('ca.key')],
  );
  return { ca: at('ca.pem'), certificate: at('server.pem'), key: at('server.key') };
}
