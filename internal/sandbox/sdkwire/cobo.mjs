// Runs Cobo's official package against a sandbox on loopback. Prints one line
// per flow that held; the Go test compares them with the list it expects.
//
// The package signs every request, and the sandbox checks that. It checks
// nothing of the answers itself, so the flows do.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import CoboWaas2 from '@cobo/cobo-waas2';

console.log = () => {}; // the package prints everything it signs

const base = process.env.SANDBOX_URL;
const json = async (path, method = 'GET', body) => {
  const response = await fetch(base + path, { method, body: body === undefined ? undefined : JSON.stringify(body) });
  const text = await response.text();
  assert.ok(response.ok, `${method} ${path}: ${response.status} ${text}`);
  return text === '' ? undefined : JSON.parse(text);
};
const info = (await json('/_sandbox/info')).cobo;
const state = async (id) => (await json(`/_sandbox/state?wallet=${id}`)).wallets[0];
const fault = (list) => json('/_sandbox/faults', 'PUT', list);

const { ApiClient, WalletsMPCWalletsApi } = CoboWaas2;
ApiClient.instance.setEnv({ basePath: info.base_url });
ApiClient.instance.setPrivateKey(info.api_secret);
const api = new WalletsMPCWalletsApi();

const vaults = async () => (await api.listMpcVaults('Org-Controlled', { limit: 50 })).data;
const groups = async (vault) => (await api.listKeyShareHolderGroups(vault, { limit: 50 })).data;
const main = async (vault) => {
  const valid = (await groups(vault)).filter((g) => g.type === 'MainGroup' && g.status === 'Valid');
  assert.equal(valid.length, 1);
  return valid[0];
};
const freeNode = async (vault) => {
  const busy = (await groups(vault)).flatMap((g) => g.key_share_holders.map((h) => h.tss_node_id));
  return info.tss_nodes.find((id) => !busy.includes(id));
};

const create = async (vault, name) => {
  const holder = new CoboWaas2.CreateKeyShareHolder();
  Object.assign(holder, { name, type: 'API', tss_node_id: await freeNode(vault), signer: true });
  const request = new CoboWaas2.CreateKeyShareHolderGroupRequest('SigningGroup', 2, 2, [holder]);
  return api.createKeyShareHolderGroup(vault, { CreateKeyShareHolderGroupRequest: request });
};
const reshare = async (vault, target, description) => {
  const source = await main(vault);
  return api.createTssRequest(vault, {
    CreateTssRequestRequest: CoboWaas2.CreateTssRequestRequest.constructFromObject({
      type: 'KeyGenFromKeyGroup', target_key_share_holder_group_id: target, description,
      source_key_share_holder_group: {
        key_share_holder_group_id: source.key_share_holder_group_id,
        tss_node_ids: source.key_share_holders.map((h) => h.tss_node_id),
      },
    }),
  });
};
const done = async (vault, request) => {
  let now = request;
  while (!/Success|Failed/.test(now.status)) {
    await new Promise((resume) => { setTimeout(resume, 5); });
    now = await api.getTssRequestById(vault, request.tss_request_id);
  }
  return now;
};
const prepare = async (vault) => {
  const attempt = `rotatord ${randomUUID()}`;
  const group = await create(vault, attempt);
  assert.equal(group.status, 'New');
  const request = await reshare(vault, group.key_share_holder_group_id, attempt);
  assert.equal(request.status, 'PendingKeyHolderConfirmation');
  assert.equal((await done(vault, request)).status, 'Success');
  return api.getKeyShareHolderGroupById(vault, group.key_share_holder_group_id);
};
// The package throws {status, body} and drops the reply's code otherwise.
const refused = (call, status, code) => assert.rejects(call, (error) => {
  assert.equal(error.status, status);
  assert.equal(error.body.error_code, code);
  assert.ok(error.body.error_message && error.body.error_id);
  return true;
});

const flows = {};

flows['vaults, one by one'] = async () => {
  const first = await api.listMpcVaults('Org-Controlled', { limit: 1 });
  assert.equal(first.pagination.total_count, 2);
  const second = await api.listMpcVaults('Org-Controlled', { limit: 1, after: first.pagination.after });
  assert.equal(second.pagination.after, '');
  assert.notEqual(first.data[0].vault_id, second.data[0].vault_id);
  const last = await api.listMpcVaults('Org-Controlled', { limit: 1, before: 'infinity' });
  assert.equal(last.data[0].vault_id, second.data[0].vault_id);
  const vault = await api.getMpcVaultById(first.data[0].vault_id);
  assert.deepEqual(vault.root_pubkeys.map((k) => k.curve), ['SECP256K1', 'ED25519']);
  assert.deepEqual(vault, first.data[0]);
};

flows['groups and holders'] = async () => {
  const [{ vault_id: vault }] = await vaults();
  const group = await main(vault);
  assert.deepEqual(group.key_share_holders.map((h) => [h.type, h.online, h.status]), [['Cobo', true, 'Valid'], ['API', true, 'Valid']]);
  assert.ok(info.tss_nodes.includes(group.key_share_holders[1].tss_node_id));
  const holders = await api.listCoboKeyHolders();
  assert.ok(holders.some((h) => h.tss_node_id === group.key_share_holders[0].tss_node_id));
  const signing = await api.listKeyShareHolderGroups(vault, { key_share_holder_group_type: 'SigningGroup' });
  assert.equal(signing.data.length, 0);
};

flows['a rotation that converts the old group and deletes it'] = async () => {
  const [{ vault_id: vault, root_pubkeys: roots }] = await vaults();
  const old = await main(vault);
  const group = await prepare(vault);
  assert.deepEqual(group.tss_key_share_groups.map((k) => [k.curve, k.root_pubkey]), roots.map((k) => [k.curve, k.root_pubkey]));
  // A plain object: 1.8.0's own model does not know the second field.
  const upgraded = await api.updateKeyShareHolderGroupById(vault, group.key_share_holder_group_id, {
    UpdateKeyShareHolderGroupByIdRequest: {
      update_key_share_holder_group_action: 'UpgradeToMainGroup', original_main_group_handling: 'ConvertToSigningGroup',
    },
  });
  assert.equal(upgraded.type, 'MainGroup');
  assert.equal((await main(vault)).key_share_holder_group_id, group.key_share_holder_group_id);
  assert.equal((await api.getKeyShareHolderGroupById(vault, old.key_share_holder_group_id)).type, 'SigningGroup');
  assert.ok((await state(vault)).retiring);
  const { submitted } = await api.deleteKeyShareHolderGroupById(vault, old.key_share_holder_group_id);
  assert.equal(submitted, true);
  const truth = await state(vault);
  assert.ok(truth.can_sign && !truth.old_share_signs && !truth.retiring);
};

flows['a rotation with the models of the package invalidates'] = async () => {
  const [, { vault_id: vault }] = await vaults();
  const old = await main(vault);
  const group = await prepare(vault);
  const request = CoboWaas2.UpdateKeyShareHolderGroupByIdRequest.constructFromObject({
    update_key_share_holder_group_action: 'UpgradeToMainGroup', original_main_group_handling: 'ConvertToSigningGroup',
  });
  await api.updateKeyShareHolderGroupById(vault, group.key_share_holder_group_id, { UpdateKeyShareHolderGroupByIdRequest: request });
  await refused(api.getKeyShareHolderGroupById(vault, old.key_share_holder_group_id), 404, 2028);
  const truth = await state(vault);
  assert.ok(truth.can_sign && !truth.old_share_signs && !truth.retiring);
};

flows['a TSS request that is cancelled ends in Success'] = async () => {
  const [{ vault_id: vault }] = await vaults();
  await fault([{ operation: 'cobo.create_tss_request', kind: 'approval_delay', delay: '1h' }]);
  const group = await create(vault, 'to be cancelled');
  const request = await reshare(vault, group.key_share_holder_group_id, 'to be cancelled');
  const listed = await api.listTssRequests(vault, group.key_share_holder_group_id, { limit: 50 });
  assert.deepEqual(listed.data.map((q) => [q.tss_request_id, q.description]), [[request.tss_request_id, 'to be cancelled']]);
  assert.equal((await api.cancelTssRequestById(vault, request.tss_request_id)).status, 'Success');
  assert.equal((await api.getKeyShareHolderGroupById(vault, group.key_share_holder_group_id)).status, 'New');
  await api.deleteKeyShareHolderGroupById(vault, group.key_share_holder_group_id);
  await fault([]);
};

flows['wrong states are refused'] = async () => {
  const [{ vault_id: vault }] = await vaults();
  const { key_share_holder_group_id: id } = await main(vault);
  await refused(api.deleteKeyShareHolderGroupById(vault, id), 400, 2006);
  await refused(api.updateKeyShareHolderGroupById(vault, id, {
    UpdateKeyShareHolderGroupByIdRequest: { update_key_share_holder_group_action: 'UpgradeToMainGroup' },
  }), 400, 2006);
  await refused(api.listMpcVaults('Org-Controlled', { project_id: 'with a blank, and +' }), 400, 2006);
  await refused(api.getMpcVaultById(randomUUID()), 404, 2028);
};

flows['error statuses'] = async () => {
  const [{ vault_id: vault }] = await vaults();
  for (const [status, code] of [[400, 2029], [401, 2024], [403, 2025], [404, 2028], [500, 1000]]) {
    await fault([{ operation: 'cobo.get_vault', kind: 'status', status, times: 1 }]);
    await refused(api.getMpcVaultById(vault), status, code);
  }
  for (const status of [429, 502, 503]) {
    await fault([{ operation: 'cobo.get_vault', kind: 'status', status, times: 1 }]);
    await assert.rejects(api.getMpcVaultById(vault), (error) => error.status === status);
  }
  await fault([]);
};

flows['another key is refused'] = async () => {
  ApiClient.instance.setPrivateKey('11'.repeat(32));
  await refused(api.listCoboKeyHolders(), 401, 2024);
  ApiClient.instance.setPrivateKey(info.api_secret);
  await api.listCoboKeyHolders();
};

for (const [name, flow] of Object.entries(flows)) {
  await flow();
  process.stdout.write(`held: ${name}\n`);
}
