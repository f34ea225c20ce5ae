'use strict';
// Calls a gateway with the vendor's official client and tells, as JSON on standard output, what each call came to.
// usage: node aliyun.js GATEWAY_URL APP_KEY APP_SECRET APP_CODE

const { Client, SimpleClient } = require('aliyun-api-gateway');

const [gateway, appKey, appSecret, appCode] = process.argv.slice(2);
const client = new Client(appKey, appSecret);
const base = `${gateway}/echo`;
const form = { 'content-type': 'application/x-www-form-urlencoded; charset=UTF-8' };

const calls = {
  get_with_query: () => client.get(`${base}/items?b=2&a=1`, { query: { name: '小明 x', empty: '', sym: "!@#$%^&*()_+-=~/?" } }),
  get_repeated: () => client.get(`${base}/items?a=1&a=2&b=3`),
  get_zero_and_false: () => client.get(`${base}/items`, { query: { zero: 0, no: false } }),
  get_signed_header: () => client.get(`${base}/items`, { signHeaders: { 'X-Trace': 'abc' } }),
  get_encoded_path: () => client.get(`${base}/%E4%B8%AD%E6%96%87`),
  post_form: () => client.post(`${base}/items?q=1`, { data: { name: 'a b&c=d', empty: '', text: '中文' }, headers: form }),
  post_json: () => client.post(`${base}/items`, { data: { name: '中文', list: [1, 2, 3] } }),
  post_bytes: () => client.post(`${base}/items`, { data: Buffer.from([0, 255, 10, 13, 128]), headers: { 'content-type': 'application/octet-stream' } }),
  put_json: () => client.put(`${base}/items?id=1`, { data: { name: 'x' } }),
  put_form: () => client.put(`${base}/items`, { data: { name: 'x y' }, headers: form }),
  delete: () => client.delete(`${base}/items`, { query: { id: 1 } }),
  test_stage: () => new Client(appKey, appSecret, 'TEST').get(`${base}/items`),
  app_code: () => new SimpleClient(appCode).get(`${base}/items?x=1`, {}),
  wrong_secret: () => new Client(appKey, 'wrong-secret').get(`${base}/items?b=2&a=1`),
  unknown_key: () => new Client('no-such-key', appSecret).get(`${base}/items`),
};

(async () => {
  const results = {};
  for (const [name, call] of Object.entries(calls)) {
    try {
      results[name] = { status: 200, answer: await call() };
    } catch (error) {
      const headers = (error.data && error.data.headers) || {};
      results[name] = {
        status: error.code || 0,
        text: error.message,
        request_id: headers['x-ca-request-id'],
        error_code: headers['x-ca-error-code'],
        error_message: headers['x-ca-error-message'],
      };
    }
  }
  process.stdout.write(JSON.stringify(results) + '\n', () => process.exit(0));
})();
