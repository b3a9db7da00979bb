// Values that were computed from others, on a real disk: they outlive kill -9 with what they were computed from, and not without.
#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "process/on_disk.hpp"

using namespace onced;
using namespace onced::testing;

namespace {

// page is computed from chart, and chart from source; each by reading the other through the client, which is all they do.
struct Site {
  OnDisk disk;
  Key source = key_named("source");
  Key chart = key_named("chart");
  Key page = key_named("page");
  int charts = 0;
  int pages = 0;

  void put_source(Client& client, const std::string& text) const {
    PutOptions options = durable_put();
    options.tags = {"of-the-source"};
    REQUIRE(client.put(source.bytes(), text, options).ok());
  }
  std::string chart_text(Client& client) {
    const auto value = client.get_or_compute(chart, {.durable = true}, [&](Computation&) {
      ++charts;
      const auto read = client.get(source.bytes());
      REQUIRE(read.ok());
      return "chart of " + (*read ? std::string((*read)->text()) : "nothing");
    });
    REQUIRE(value.ok());
    return std::string(value->text());
  }
  // As a new process finds it.
  std::string page_text() {
    Client client = disk.client();
    const auto value = client.get_or_compute(page, {.durable = true}, [&](Computation&) {
      ++pages;
      return "page with " + chart_text(client);
    });
    REQUIRE(value.ok());
    CHECK_FALSE(value->stale());
    CHECK_FALSE(value->not_durable().has_value());
    return std::string(value->text());
  }
  void make() {
    Client client = disk.client();
    put_source(client, "old");
    CHECK(page_text() == "page with chart of old");
    pages = charts = 0;
  }
};

}  // namespace

TEST_CASE("after kill -9 what was computed from others is read from disk, and so are those, in any order") {
  Site site;
  site.make();
  for (int round = 0; round < 3; ++round) {
    if (round == 1) site.disk.restart();
    else site.disk.crash();
    Client client = site.disk.client();
    if (round == 1) CHECK(text_of(client, site.source) == "old");
    if (round == 2) CHECK(text_of(client, site.chart) == "chart of old");
    CHECK(site.page_text() == "page with chart of old");
    CHECK(text_of(client, site.chart) == "chart of old");
    CHECK(text_of(client, site.source) == "old");
    CHECK(number_in(client, "disk_loads") == 3);
    CHECK(number_in(client, "computations") == 0);
    CHECK(site.pages + site.charts == 0);
  }
}

TEST_CASE("what happened to an upstream before a crash holds after it for what was computed from that, two steps away") {
  const std::vector<std::string> ways{"put", "invalidate", "soft", "tag", "function", "soft in memory"};
  for (const std::string& way : ways) {
    CAPTURE(way);
    Site site;
    site.make();
    if (way != "soft in memory") site.disk.crash();  // memory has none of them
    {
      Client client = site.disk.client();
      if (way == "put") site.put_source(client, "new");
      if (way == "invalidate") REQUIRE(client.invalidate(site.source.bytes()).ok());
      if (way == "soft" || way == "soft in memory") REQUIRE(client.invalidate(site.source.bytes(), {.soft = true}).ok());
      if (way == "tag") REQUIRE(client.invalidate_tag("of-the-source").ok());
      if (way == "function") REQUIRE(client.invalidate_function("source").ok());
    }
    site.disk.crash();
    {
      Client client = site.disk.client();
      CHECK(text_of(client, site.source) == (way == "put" ? std::optional<std::string>("new") : std::nullopt));
      CHECK(text_of(client, site.page) == std::nullopt);
      CHECK(text_of(client, site.chart) == std::nullopt);
      if (way != "put") site.put_source(client, "new");
    }
    CHECK(site.page_text() == "page with chart of new");
    CHECK(site.charts == 1);
    CHECK(site.pages == 1);
    site.disk.crash();
    CHECK(site.page_text() == "page with chart of new");
    CHECK(site.pages == 1);
  }
}

TEST_CASE("when it has come back, what is done to an upstream that is on disk only reaches it at once") {
  const std::vector<std::string> ways{"put", "invalidate", "soft", "tag", "function"};
  for (const std::string& way : ways) {
    CAPTURE(way);
    Site site;
    site.make();
    site.disk.crash();
    CHECK(site.page_text() == "page with chart of old");
    Client client = site.disk.client();
    REQUIRE(client.peek(site.page));
    if (way == "put") site.put_source(client, "new");
    if (way == "invalidate") REQUIRE(client.invalidate(site.source.bytes()).ok());
    if (way == "soft") REQUIRE(client.invalidate(site.source.bytes(), {.soft = true}).ok());
    if (way == "tag") REQUIRE(client.invalidate_tag("of-the-source").ok());
    if (way == "function") REQUIRE(client.invalidate_function("source").ok());
    const auto found = client.peek(site.page);
    CHECK((!found || found->stale()));
    CHECK(number_in(client, "disk_loads") == 1);
    if (way != "put") site.put_source(client, "new");
    CHECK(site.page_text() == "page with chart of new");
  }
}

TEST_CASE("of a session that has ended nothing can be found of what its values were computed from") {
  OnDisk disk;
  Client client = disk.client();
  const std::string marked = "MARKED-ARGUMENT-of-this-user";
  auto session = client.new_session();
  REQUIRE(session.ok());
  const auto key_in = [&](const std::string& function) {
    const auto key = session->key(function, "v1").add(marked).build();
    REQUIRE(key.ok());
    return *key;
  };
  const Key shared = key_named("shared");
  const Key basket = key_in("MARKED-basket");
  const Key total = key_in("MARKED-total");
  REQUIRE(client.put(shared.bytes(), "prices", durable_put()).ok());
  PutOptions tagged = durable_put();
  tagged.tags = {"MARKED-TAG"};
  REQUIRE(session->put(basket.bytes(), "a basket", tagged).ok());
  const auto computed = session->get_or_compute(total, {.durable = true}, [&](Computation&) {
    const auto basket_text = session->get(basket.bytes());
    const auto prices = client.get(shared.bytes());
    REQUIRE((basket_text.ok() && *basket_text && prices.ok() && *prices));
    return std::string((*basket_text)->text()) + " by " + std::string((*prices)->text());
  });
  REQUIRE(computed.ok());
  CHECK_FALSE(computed->not_durable().has_value());
  // One that everybody may read, and that names what is the session's, is not written.
  const auto named = client.get_or_compute(key_named("of-all"), {.durable = true}, [&](Computation&) {
    const auto read = session->get(total);
    REQUIRE((read.ok() && *read));
    return std::string("sum");
  });
  REQUIRE(named.ok());
  CHECK_FALSE(named->not_stored().has_value());
  CHECK(named->not_durable().has_value());
  disk.crash();
  const std::string id = session->id();
  {
    Client other = disk.client();
    auto same = other.session(id);
    REQUIRE(same.ok());
    const auto found = same->get(total.bytes());
    REQUIRE((found.ok() && *found));
    CHECK((*found)->text() == "a basket by prices");
    const auto searched = [&] { return is_in_a_file_of(disk.path(), "MARKED"); };
    CHECK_FALSE(searched());
    REQUIRE(same->end().ok());
    CHECK_FALSE(searched());
  }
  disk.crash();
  CHECK_FALSE(is_in_a_file_of(disk.path(), "MARKED"));
  CHECK(is_in_a_file_of(disk.path(), "prices"));
  Client after = disk.client();
  CHECK(text_of(after, shared) == "prices");
}
