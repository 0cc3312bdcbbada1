// The demo routes of the hub: same origin, no key. They answer as the server API does.

/** The result member of the answer; throws an Error with a text for people. */
export async function post(path, body) {
  let response;
  try {
    response = await fetch(path, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify(body),
    });
  } catch {
    throw new Error('The hub cannot be reached.');
  }
  if (!response.ok) throw new Error(`The hub answered with status ${response.status}.`);
  const answer = await response.json();
  if (answer.error) throw new Error(`The hub refused: ${answer.error.message} (${answer.error.code}).`);
  return answer.result;
}
