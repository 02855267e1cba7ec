// The gateway under test. ADAPTER names another module with the same start(),
// to run the suite against something else that speaks RFC 7118.

export async function startGateway(config) {
  const { start } = await import(process.env.ADAPTER ?? './ringway.js');
  return start(config);
}
