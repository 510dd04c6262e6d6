// One test as a journey: a person, the clients they use, and a clean end whatever happens.
import { App } from './client.mjs';
import { keepFailure } from './looks.mjs';

const LIMIT_MS = 90_000;

/**
 * Wraps a test: `journey(() => world, async ({ person, install, signedIn }) => …)`. The world comes as a function
 * because the file's `before` fills it after the tests are declared.
 */
export function journey(world, walk) {
  const run = async (t) => {
    const guests = [];
    const apps = [];
    const journey = {
      t,
      ...world(),
      /** A further person, with an own cookie jar. */
      meet: async (options) => {
        const person = await world().browser.person(options);
        guests.push(person);
        return person;
      },
      /** A client that is closed at the end. */
      install: async (options = {}) => {
        const app = await App.install({ mandate: world().mandate, ...options });
        apps.push(app);
        return app;
      },
      /** Sends a person to the client's request and grants it: sign-in when asked, then `Allow`. */
      grant: (person, username) => async (url) => {
        await person.open(url);
        await signInIfAsked(person, world().mandate, username);
        await person.decide('Allow');
      },
    };
    journey.person = await journey.meet();
    try {
      await walk(journey);
      for (const guest of guests) await guest.leave();
    } catch (error) {
      for (const page of guests.flatMap((guest) => guest.context.pages())) {
        t.diagnostic(`at ${page.url()}, see ${await keepFailure(page, t.name).catch(() => 'no picture')}`);
      }
      for (const guest of guests) guest.complaints.forEach((complaint) => t.diagnostic(complaint));
      t.diagnostic(world().mandate.output.slice(-3000));
      throw error;
    } finally {
      for (const guest of guests) await guest.context.close();
      for (const app of apps) await app.close();
    }
  };
  return [{ timeout: LIMIT_MS }, run];
}

async function signInIfAsked(person, mandate, username) {
  if (await person.page.getByLabel('Password', { exact: true }).isVisible()) {
    await person.signIn(username, mandate.password(username));
  }
}
