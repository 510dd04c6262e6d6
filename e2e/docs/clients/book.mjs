// The pages of the book for clients.
import { readFileSync } from 'node:fs';
import path from 'node:path';

const PAGES = path.resolve(import.meta.dirname, '../../../docs/src/clients');

/** A page's whole text. */
export function text(page) {
  return readFileSync(path.join(PAGES, page), 'utf8');
}

/** The fenced blocks of a page in one language. */
export function blocks(page, language) {
  const fences = text(page).matchAll(/^```(\S+)\n([\s\S]*?)^```$/gm);
  return [...fences].filter(([, named]) => named === language).map(([, , body]) => body);
}

/** The commands of a page that begin with these words, with continued lines joined. */
export function commands(page, words) {
  const lines = blocks(page, 'sh').flatMap((block) => block.replaceAll(/\\\n\s*/g, '').split('\n'));
  return lines.filter((line) => line.startsWith(words));
}

/** The options in a command, without what follows them. */
export function options(command) {
  return command.match(/(?<=\s)--?[a-z][a-z-]*/g) ?? [];
}
