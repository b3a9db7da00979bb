#include "scene.hpp"

using namespace onced;
using namespace onced::engine;
namespace protocol = onced::protocol;

namespace {
const std::string x = key_of("x"), y = key_of("y"), z = key_of("z");

protocol::Acquire holding(const std::string& key, std::vector<protocol::Token> held) {
  return protocol::Acquire{.key = key, .wait_ms = 60'000, .held = std::move(held)};
}
}  // namespace

TEST_CASE("a computation that asks for its own key is refused (L7)") {
  Scene scene;
  const auto a = scene.connect();
  const auto token = scene.lease(a, x);
  const auto inner = scene.lease(a, y, {token});
  const auto refused = scene.take<protocol::Refused>(a, scene.ask(a, holding(x, {token, inner})));
  CHECK(refused.code == ErrorCode::recursion);
  CHECK(refused.text.find("x(0)") != std::string::npos);
}

TEST_CASE("a circle of two workers is refused to the one that would close it (L7)") {
  Scene scene;
  const auto a = scene.connect("pid 1"), b = scene.connect("pid 2");
  const auto token_x = scene.lease(a, x);
  const auto token_y = scene.lease(b, y);
  const auto waits = scene.ask(a, holding(y, {token_x}));
  const auto refused = scene.take<protocol::Refused>(b, scene.ask(b, holding(x, {token_y})));
  CHECK(refused.code == ErrorCode::deadlock);
  CHECK(refused.text.find("x(0) (pid 1)") != std::string::npos);
  CHECK(refused.text.find("y(0)") != std::string::npos);
  scene.publish(b, token_y, "value");
  CHECK(scene.inline_bytes(a, waits) == "value");
}

TEST_CASE("a circle of three workers is found (L7)") {
  Scene scene;
  const auto a = scene.connect(), b = scene.connect(), c = scene.connect();
  const auto token_x = scene.lease(a, x), token_y = scene.lease(b, y), token_z = scene.lease(c, z);
  scene.ask(a, holding(y, {token_x}));
  scene.ask(b, holding(z, {token_y}));
  CHECK(scene.refused(c, scene.ask(c, holding(x, {token_z}))) == ErrorCode::deadlock);
}

TEST_CASE("waiting for the same key, and in a chain, is no deadlock (L7)") {
  Scene scene;
  const auto a = scene.connect(), b = scene.connect(), c = scene.connect();
  const auto token_x = scene.lease(a, x), token_y = scene.lease(b, y);
  const auto of_b = scene.ask(b, holding(x, {token_y}));
  const auto of_c = scene.ask(c, holding(y, {}));
  CHECK_FALSE(scene.has_reply(b, of_b));
  scene.publish(a, token_x, "x");
  scene.publish(b, token_y, "y");
  CHECK(scene.inline_bytes(b, of_b) == "x");
  CHECK(scene.inline_bytes(c, of_c) == "y");
}

TEST_CASE("a wait that ended closes no circle any more (L7)") {
  Scene scene;
  const auto a = scene.connect(), b = scene.connect();
  const auto token_x = scene.lease(a, x), token_y = scene.lease(b, y);
  const auto waits = scene.ask(a, holding(y, {token_x}));
  scene.ask(a, protocol::Withdraw{waits});
  const auto of_b = scene.ask(b, holding(x, {token_y}));
  CHECK_FALSE(scene.has_reply(b, of_b));
}

TEST_CASE("a circle that closes when a detached computation ends is refused as well (L7)") {
  Scene scene;
  const auto a = scene.connect(), b = scene.connect(), c = scene.connect();
  scene.lease(a, x);                                   // a computes x
  const auto token_y = scene.lease(b, y);
  const auto of_b = scene.ask(b, holding(x, {token_y}));  // b, computing y, waits for it
  scene.ask(c, protocol::Invalidate{key_scope(x)});
  const auto token_x = scene.lease(c, x);                 // c computes x anew
  const auto of_c = scene.ask(c, holding(y, {token_x}));  // and waits for y
  CHECK_FALSE(scene.has_reply(c, of_c));
  scene.step(Disconnected{a});                            // now b would wait for c
  CHECK(scene.refused(b, of_b) == ErrorCode::deadlock);
}

TEST_CASE("held tokens of another daemon's epoch are ignored (L7)") {
  Scene scene;
  const auto a = scene.connect(), b = scene.connect();
  auto token = scene.lease(a, x);
  token.epoch += 1;
  CHECK_FALSE(scene.has_reply(b, scene.ask(b, holding(x, {token}))));
}
