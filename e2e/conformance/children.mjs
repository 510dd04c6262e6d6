// Child processes that do not outlive this one.
import { spawn } from 'node:child_process';

/** Starts a program whose output is read; it is killed, by its own id, should this process end before it. */
export function start(program, words, options) {
  const child = spawn(program, words, { ...options, stdio: ['ignore', 'pipe', 'pipe'] });
  const kill = () => child.kill('SIGKILL');
  process.on('exit', kill);
  child.on('close', () => process.off('exit', kill));
  return child;
}
