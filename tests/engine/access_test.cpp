#include "engine/access.hpp"

#include <doctest/doctest.h>

using namespace onced::engine;

namespace {
constexpr std::uint32_t daemon_uid = 500;
bool in(const AccessRule& rule, const Identity& who) { return may_use(rule, who, daemon_uid); }
}  // namespace

TEST_CASE("without a rule everybody is let in whom the socket lets in, but for nobody in particular") {
  CHECK(in({}, {.uid = 1000, .gid = 1000}));
  CHECK_FALSE(in({}, {.uid = unmapped_uid, .gid = 1000}));
}

TEST_CASE("a rule lets in by uid, by group and by further groups, and nobody else") {
  const AccessRule rule{.restricted = true, .uids = {1000}, .gids = {2000}};
  CHECK(in(rule, {.uid = 1000, .gid = 1}));
  CHECK(in(rule, {.uid = 1001, .gid = 2000}));
  CHECK(in(rule, {.uid = 1001, .gid = 1, .further_gids = {5, 2000}}));
  CHECK_FALSE(in(rule, {.uid = 1001, .gid = 1, .further_gids = {5, 1000}}));
  CHECK_FALSE(in(rule, {.uid = 2000, .gid = 1000}));
}

TEST_CASE("a rule that names nobody lets in root and the daemon's own user") {
  const AccessRule rule{.restricted = true};
  CHECK(in(rule, {.uid = 0, .gid = 0}));
  CHECK(in(rule, {.uid = daemon_uid, .gid = 7}));
  CHECK_FALSE(in(rule, {.uid = 1000, .gid = 0}));
}

TEST_CASE("ids that stand for everybody unknown match no rule, even one that names them") {
  const AccessRule rule{.restricted = true, .uids = {unmapped_uid}, .gids = {unmapped_gid}};
  CHECK_FALSE(in(rule, {.uid = unmapped_uid, .gid = 1}));
  CHECK_FALSE(in(rule, {.uid = 1000, .gid = unmapped_gid}));
  CHECK_FALSE(in(rule, {.uid = 1000, .gid = 1, .further_gids = {unmapped_gid}}));
}

TEST_CASE("a rule is narrower when somebody may have lost access by it") {
  const AccessRule open;
  const AccessRule nobody{.restricted = true};
  const AccessRule one{.restricted = true, .uids = {1}};
  const AccessRule two{.restricted = true, .uids = {1, 2}};
  const AccessRule grouped{.restricted = true, .uids = {1}, .gids = {5}};
  CHECK_FALSE(is_narrower(open, open));
  CHECK_FALSE(is_narrower(open, one));
  CHECK_FALSE(is_narrower(one, nobody));
  CHECK_FALSE(is_narrower(two, one));
  CHECK_FALSE(is_narrower(grouped, one));
  CHECK_FALSE(is_narrower(one, one));
  CHECK(is_narrower(nobody, open));
  CHECK(is_narrower(two, open));
  CHECK(is_narrower(one, two));
  CHECK(is_narrower(one, grouped));
  CHECK(is_narrower(two, grouped));
}
