// Reads the data that the page holds, builds V, M and C from it, and starts the sections.

const data = JSON.parse(element("data").textContent);
const weights = splitWeights(readHalves(data.weights.numbers), data.weights.layout);
const decoder = new Decoder(weights), rnn = new RNN(weights), controller = new Controller(weights);
const initial_z = { mu: readHalves(data.initial_z.mu), log_var: readHalves(data.initial_z.log_var) };
const world = new DreamWorld(rnn, initial_z, data.rules);
const drive = new Drive(world, controller, new Screen("drive-screen", decoder), data);
const recorded = new RecordedDrive(data.drive);
let latents, openLoop; // they show recorded frames, which take a moment to decode
recorded.sheet.decode().then(() => {
  latents = new Latents(recorded, decoder, data.drive.latents);
  openLoop = new OpenLoop(recorded, rnn, decoder, world, data.steps_per_second);
});
const { agent } = data;
setText("agent", `${agent.controller} (${agent.controller_hash}), V ${agent.vae}, M ${agent.rnn}`);
