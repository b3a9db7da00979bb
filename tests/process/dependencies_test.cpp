// Values that are computed from each other, as clients of a real daemon see them.
#include <doctest/doctest.h>

#include <chrono>
#include <string>

#include "process/processes.hpp"
#include "support/daemon_process.hpp"

using namespace onced;
using namespace onced::testing;
using namespace std::chrono_literals;

namespace {

const Key source = key_named("source");
const Key chart = key_named("chart");
const Key page = key_named("page");

// page is computed from chart, and chart from source; each by reading the other through the client, which is all they do.
struct DependencySite {
  Client& client;
  int charts = 0;
  int pages = 0;

  std::string chart_text() {
    const auto value = client.get_or_compute(chart, {}, [&](Computation&) {
      ++charts;
      return "chart of " + std::string(client.peek(source)->text());
    });
    REQUIRE(value.ok());
    return std::string(value->text());
  }
  Value page_value() {
    auto value = client.get_or_compute(page, {}, [&](Computation&) {
      ++pages;
      return "page with " + chart_text();
    });
    REQUIRE(value.ok());
    return std::move(*value);
  }
};

}  // namespace

TEST_CASE("what was computed from a value that is put anew is stale, and is computed anew, over two values") {
  DaemonProcess daemon;
  Client client(options_for(daemon.socket()));
  Client other(options_for(daemon.socket()));
  REQUIRE(other.put(source.bytes(), "old").ok());
  DependencySite site{client};
  CHECK(site.page_value().text() == "page with chart of old");
  CHECK(site.page_value().text() == "page with chart of old");
  CHECK(site.pages == 1);
  REQUIRE(other.put(source.bytes(), "new").ok());
  // From the answer on nobody takes either of them for fresh.
  CHECK(other.peek(page)->stale());
  CHECK(other.peek(chart)->stale());
  CHECK_FALSE(other.peek(source)->stale());
  CHECK(site.page_value().text() == "page with chart of new");
  CHECK(site.charts == 2);
  CHECK(site.pages == 2);
  CHECK_FALSE(other.peek(page)->stale());
}

TEST_CASE("what was computed from a value that is invalidated is gone with it, over two values") {
  DaemonProcess daemon;
  Client client(options_for(daemon.socket()));
  Client other(options_for(daemon.socket()));
  REQUIRE(other.put(source.bytes(), "old").ok());
  DependencySite site{client};
  site.page_value();
  SUBCASE("by its key") { CHECK(*other.invalidate(source.bytes()) == 3); }
  SUBCASE("by its function") { CHECK(*other.invalidate_function("source") == 3); }
  CHECK_FALSE(other.peek(source));
  CHECK_FALSE(other.peek(chart));
  CHECK_FALSE(other.peek(page));
  REQUIRE(other.put(source.bytes(), "new").ok());
  CHECK(site.page_value().text() == "page with chart of new");
  CHECK(site.pages == 2);
}

TEST_CASE("what was computed from a value that is invalidated softly is stale, and still answers") {
  DaemonProcess daemon;
  Client client(options_for(daemon.socket()));
  REQUIRE(client.put(source.bytes(), "old").ok());
  DependencySite site{client};
  site.page_value();
  InvalidateOptions soft;
  soft.soft = true;
  CHECK(*client.invalidate(source.bytes(), soft) == 3);
  const auto stale = client.peek(page);
  REQUIRE(stale);
  CHECK(stale->stale());
  CHECK(stale->text() == "page with chart of old");
}

TEST_CASE("a value whose source is put anew while it is computed is stale at once") {
  DaemonProcess daemon;
  Client client(options_for(daemon.socket()));
  Client other(options_for(daemon.socket()));
  REQUIRE(other.put(source.bytes(), "old").ok());
  const auto value = client.get_or_compute(chart, {}, [&](Computation&) {
    const std::string text(client.peek(source)->text());
    REQUIRE(other.put(source.bytes(), "new").ok());
    return text;
  });
  REQUIRE(value.ok());
  CHECK(value->text() == "old");
  CHECK(other.peek(chart)->stale());
}

TEST_CASE("a value whose source is invalidated while it is computed is its computer's alone") {
  DaemonProcess daemon;
  Client client(options_for(daemon.socket()));
  Client other(options_for(daemon.socket()));
  REQUIRE(other.put(source.bytes(), "old").ok());
  const auto value = client.get_or_compute(chart, {}, [&](Computation&) {
    const std::string text(client.peek(source)->text());
    CHECK(*other.invalidate(source.bytes()) == 1);
    return text;
  });
  REQUIRE(value.ok());
  CHECK(value->text() == "old");
  CHECK_FALSE(other.peek(chart));
}

TEST_CASE("what is not recorded stays as it is, and what is named counts all the same") {
  DaemonProcess daemon;
  Client client(options_for(daemon.socket()));
  REQUIRE(client.put(source.bytes(), "old").ok());
  ComputeOptions options;
  options.record_dependencies = false;
  bool named = false;
  SUBCASE("nothing") {}
  SUBCASE("depends_on") {
    options.depends_on = {source};
    named = true;
  }
  REQUIRE(client.get_or_compute(chart, options, [&](Computation&) { return std::string(client.peek(source)->text()); }).ok());
  REQUIRE(client.put(source.bytes(), "new").ok());
  CHECK(client.peek(chart)->stale() == named);
}
