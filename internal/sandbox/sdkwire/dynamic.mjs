// Runs Dynamic's official packages against a sandbox on loopback. Prints one line per
// flow that held; the Go test compares them with the list it expects.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { DynamicApiClient } from '@dynamic-labs-wallet/core';
import { Configuration, SDKApi } from '@dynamic-labs/sdk-api-core';

const base = process.env.SANDBOX_URL;
const json = async (path, method = 'GET', body, token) => {
  const response = await fetch(path.startsWith('http') ? path : base + path, {
    method,
    headers: { 'content-type': 'application/json', ...(token && { authorization: `Bearer ${token}` }) },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  const text = await response.text();
  assert.ok(response.ok, `${method} ${path}: ${response.status} ${text}`);
  return text === '' ? undefined : JSON.parse(text);
};

const info = await json('/_sandbox/info');
const environmentId = info.dynamic.environment_id;
const state = async (i) => (await json('/_sandbox/state')).wallets[i];
const stats = async () => json('/_sandbox/stats');
const fault = (list) => json('/_sandbox/faults', 'PUT', list);
const requestId = () => randomUUID().replaceAll('-', '');

// The co-signer stands in for mpcSigner.refresh, which cannot leave TLS with
// compiled-in roots.
const ceremony = async (wallet, room) => {
  const { url, token, provider } = info.cosigner;
  const ceremony_id = randomUUID();
  let status = await json(`${url}/v1/ceremonies`, 'POST', {
    ceremony_id, provider, wallet: wallet.id, address: wallet.address, chain: wallet.chain,
    room_id: room.roomId, share_set_id: room.shareSetId, previous_share_set_id: wallet.cosigner_share_set,
  }, token);
  while (status.state === 'running') status = await json(`${url}/v1/ceremonies/${ceremony_id}`, 'GET', undefined, token);
  assert.equal(status.state, 'prepared', JSON.stringify(status));
  assert.equal(status.address, wallet.address);
  return () => json(`${url}/v1/ceremonies/${ceremony_id}/commit`, 'POST',
    { share_set_id: status.share_set_id, fingerprint: status.fingerprint }, token);
};

const client = (authToken, more = {}) => new DynamicApiClient({
  environmentId, authToken, baseApiUrl: base, baseClientKeysharesRelayApiUrl: base, ...more,
});

// refresh with the wallet package; complete settles with ceremony_complete or onError.
const refresh = async (core, wallet, shareSetId = wallet.active_share_set) => {
  let onCeremonyComplete, onError;
  const complete = new Promise((resolve, reject) => {
    onCeremonyComplete = (...values) => resolve(values);
    onError = reject;
  });
  complete.catch(() => {}); // some flows expect it to fail, some never look
  const room = await core.refreshWalletAccountShares({
    dynamicRequestId: requestId(), walletId: wallet.id, shareSetId, onError, onCeremonyComplete,
  });
  return { room, complete };
};

const external = [{ location: 'external' }];
const flows = {};

let jwt;
flows['core: authenticateApiToken'] = async () => {
  const { data } = await client(info.dynamic.api_token).authenticateApiToken({ environmentId });
  jwt = data.encodedJwts.minifiedJwt;
  assert.equal(jwt.split('.').length, 3);
};

flows['core: wallet by address, by id, user'] = async () => {
  const wallet = await state(0);
  const byAddress = await client(jwt).getWaasWalletByAddress({ walletAddress: wallet.address });
  assert.equal(byAddress.wallet.walletId, wallet.id);
  assert.equal(byAddress.wallet.shareSetId, wallet.active_share_set);
  const byId = await client(info.dynamic.api_token).getWaasWalletById({ walletId: wallet.id });
  assert.equal(byId.wallet.accountAddress, wallet.address);
  const user = await client(jwt).getUser(requestId());
  const waas = user.verifiedCredentials.filter((c) => c.walletName === 'dynamicwaas');
  assert.equal(waas.length, 3);
  assert.equal(waas[0].walletProperties.shareSetId, wallet.active_share_set);
};

flows['core: a whole rotation over the event stream'] = async () => {
  for (const i of [0, 1]) {
    const wallet = await state(i);
    const core = client(jwt);
    const { room, complete } = await refresh(core, wallet);
    assert.equal(room.roomId.length, 32);
    assert.equal(room.walletId, wallet.id);
    const commit = await ceremony(wallet, room);
    assert.deepEqual((await complete).slice(0, 4), [wallet.address, wallet.id, room.shareSetId, 'rootUser']);
    const { keyShareIds } = await core.storeEncryptedBackupByWallet({
      walletId: wallet.id, encryptedKeyShares: ['Y2lwaGVydGV4dA=='], passwordEncrypted: true,
      encryptionVersion: 'v2', dynamicRequestId: requestId(),
    });
    assert.equal(keyShareIds.length, 1);
    const reply = await core.markKeySharesAsBackedUp({
      walletId: wallet.id, shareSetId: room.shareSetId, dynamicRequestId: requestId(),
      locations: [...external, { location: 'dynamic', externalKeyShareId: keyShareIds[0] }],
    });
    assert.equal(reply.shareSetId, room.shareSetId);
    assert.equal(reply.walletActive, true);
    await commit();
    const { wallet: seen } = await core.getWaasWalletByAddress({ walletAddress: wallet.address });
    assert.equal(seen.shareSetId, room.shareSetId);
    const truth = await state(i);
    assert.ok(truth.can_sign && !truth.old_share_signs && truth.public_key === wallet.public_key);
  }
};

flows['core: server mode, with the token alone'] = async () => {
  const wallet = await state(0);
  const core = client(info.dynamic.api_token, { isServerSdk: true });
  await core.getWaasWalletByAddress({ walletAddress: wallet.address });
  const { room, complete } = await refresh(core, wallet);
  const commit = await ceremony(wallet, room);
  await complete;
  await core.markKeySharesAsBackedUp({
    walletId: wallet.id, shareSetId: room.shareSetId, locations: external, dynamicRequestId: requestId(),
  });
  await commit();
  assert.ok((await state(0)).can_sign);
};

flows['core: refresh without a share set'] = async () => {
  const wallet = await state(2);
  const { room } = await refresh(client(jwt), wallet, null);
  assert.notEqual(room.shareSetId, wallet.active_share_set);
};

flows['core: error statuses, one request each'] = async () => {
  const wallet = await state(0);
  for (const status of [400, 401, 403, 404, 409, 422, 429, 500, 503]) {
    await fault([{ operation: 'dynamic.refresh', kind: 'status', status, retry_after: 3, times: 1 }]);
    const before = (await stats()).requests['dynamic.refresh'];
    await assert.rejects(refresh(client(jwt), wallet), (error) => {
      assert.equal(error.response.status, status);
      assert.equal(String(error.response.headers['retry-after']), '3');
      return true;
    });
    assert.equal((await stats()).requests['dynamic.refresh'], before + 1);
  }
  await fault([]);
};

flows['core: onUnauthorized after the JWT was revoked'] = async () => {
  const wallet = await state(0);
  await json('/_sandbox/jwts', 'DELETE');
  let told = 0;
  await assert.rejects(client(jwt, { onUnauthorized: () => { told++; } }).getWaasWalletByAddress({ walletAddress: wallet.address }),
    (error) => error.response.status === 401);
  assert.equal(told, 1);
  await flows['core: authenticateApiToken']();
  await client(jwt).getWaasWalletByAddress({ walletAddress: wallet.address });
};

flows['core: the ceremony fails'] = async () => {
  const wallet = await state(0);
  await fault([{ operation: 'dynamic.room', kind: 'reject', times: 1 }]);
  // room_created and error may be read as one: then the call itself fails.
  await assert.rejects(async () => (await refresh(client(jwt), wallet)).complete, /ceremony failed: ceremony rejected/);
  await fault([]);
  assert.ok((await state(0)).can_sign);
};

flows['core: the stream ends before ceremony_complete'] = async () => {
  const wallet = await state(0);
  await fault([{ operation: 'dynamic.room', kind: 'lost_reply', times: 1 }]);
  const { room, complete } = await refresh(client(jwt), wallet);
  await ceremony(wallet, room);
  await assert.rejects(complete, /SSE stream ended before ceremony_complete/);
  await fault([{ operation: 'dynamic.refresh', kind: 'drop_stream', times: 1 }]);
  const dropped = await refresh(client(jwt), wallet);
  await assert.rejects(dropped.complete);
  await fault([]);
};

flows['core: dynamic without externalKeyShareId is refused locally'] = async () => {
  await assert.rejects(client(jwt).markKeySharesAsBackedUp({
    walletId: (await state(0)).id, locations: [{ location: 'dynamic' }], dynamicRequestId: requestId(),
  }));
};

const api = () => new SDKApi(new Configuration({ basePath: `${base}/api/v0`, accessToken: jwt }));

flows['api: a whole rotation in JSON'] = async () => {
  const wallet = await state(1);
  const room = await api().refreshKeyShares({
    environmentId, walletId: wallet.id, refreshKeySharesRequest: { shareSetId: wallet.active_share_set },
  });
  assert.deepEqual(Object.keys(room).filter((key) => room[key] === undefined), []);
  assert.equal(room.accountAddress, wallet.address);
  const commit = await ceremony(wallet, room);
  const reply = await api().backupKeySharesToLocations({
    environmentId, walletId: wallet.id,
    backupKeySharesToLocationsRequest: { locations: external, shareSetId: room.shareSetId },
  });
  assert.equal(reply.shareSetId, room.shareSetId);
  assert.equal(reply.locationsWithKeyShares.length, 1);
  await commit();
  const truth = await state(1);
  assert.ok(truth.can_sign && !truth.old_share_signs && truth.active_share_set === room.shareSetId);
};

flows['api: user in snake case, wallet as user'] = async () => {
  const wallet = await state(1);
  const user = await api().getAuthenticatedUser({ environmentId });
  const credential = user.verifiedCredentials.find((c) => c.address === wallet.address);
  assert.equal(credential.walletName, 'dynamicwaas');
  assert.equal(credential.walletProvider, 'embeddedWallet');
  assert.equal(credential.walletProperties.shareSetId, wallet.active_share_set);
  const filtered = await api().getWaasWalletWithVerifiedCredentials({ environmentId, walletAddress: wallet.address });
  assert.deepEqual(filtered.verifiedCredentials.map((c) => c.address), [wallet.address]);
};

flows['api: errors throw the reply'] = async () => {
  const wallet = await state(1);
  await assert.rejects(api().backupKeySharesToLocations({
    environmentId, walletId: wallet.id,
    backupKeySharesToLocationsRequest: { locations: external, shareSetId: randomUUID() },
  }), (reply) => reply.status === 404);
};

for (const [name, flow] of Object.entries(flows)) {
  await flow();
  console.log(`held: ${name}`);
}
