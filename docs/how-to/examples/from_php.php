<?php
// Ask for one cancellation with PHP alone: php from_php.php UID TOKEN REFERENCE1
declare(strict_types=1);

[, $uid, $token, $reference1] = $argv;
$order = ['partnerTxnUid' => $uid, 'tokenId' => $token, 'reference1' => $reference1];
$message = json_encode([
    'body' => json_encode([[], $order, null], JSON_THROW_ON_ERROR),
    'content-type' => 'application/json',
    'content-encoding' => 'utf-8',
    'headers' => ['id' => bin2hex(random_bytes(16)), 'task' => 'kplus.cancel_token'],
    'properties' => new stdClass(),
], JSON_THROW_ON_ERROR);

// The extension redis makes one line of the rest: $redis->lPush('kplus.cancel', $message);
$fail = function (string $why): void {
    fwrite(STDERR, "$why\n");  // not an exception: its trace would show the password
    exit(1);
};
$broker = parse_url((string) getenv('KPLUS_BROKER_URL')) ?: [];
if (($broker['scheme'] ?? '') !== 'redis' || !isset($broker['host'])) {
    $fail('KPLUS_BROKER_URL must be a redis:// address');
}
$address = "tcp://{$broker['host']}:" . ($broker['port'] ?? 6379);
$socket = @stream_socket_client($address, $code, $error, 5);
if ($socket === false) {
    $fail("Redis: $error");
}
stream_set_timeout($socket, 5);

$redis = function (string ...$words) use ($socket, $fail): void {
    $bulks = array_map(fn (string $word): string => '$' . strlen($word) . "\r\n$word\r\n", $words);
    fwrite($socket, '*' . count($words) . "\r\n" . implode('', $bulks));
    $reply = fgets($socket);
    if ($reply === false || $reply[0] === '-') {
        $fail('Redis: ' . ($reply ? trim($reply) : 'no answer'));
    }
};

$identity = array_filter([$broker['user'] ?? '', $broker['pass'] ?? ''], 'strlen');
if ($identity) {
    $redis('AUTH', ...array_map('rawurldecode', array_values($identity)));
}
$redis('SELECT', substr($broker['path'] ?? '', 1) ?: '0');
$redis('LPUSH', 'kplus.cancel', $message);
