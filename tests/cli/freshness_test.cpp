// How long values stay fresh and usable, as the command line says it, and values that are made stale.
#include <doctest/doctest.h>

#include <sys/stat.h>

#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "oncectl.hpp"
#include "support/temp_directory.hpp"
#include "support/watchdog.hpp"

namespace onced::testing {
namespace {

using nlohmann::json;

json row_of(const Oncectl& oncectl, const std::string& function) { return parsed(oncectl({"ls", function, "--json"}).out); }

}  // namespace

TEST_CASE("put and run say how long a value is fresh and how long it is usable then") {
  const Oncectl oncectl;
  CHECK(oncectl({"put", "f", "--ttl", "1h", "--grace", "2h", "--refresh-ahead", "1.5"}, {.input = "x"}).status == 0);
  CHECK(oncectl({"run", "--name", "n", "--ttl", "1h", "--grace", "2h", "--", "true"}).status == 0);
  for (const char* function : {"f", "run:n"}) {
    CAPTURE(function);
    const json row = row_of(oncectl, function);
    CHECK(row["ttl_left_ms"] > 3'000'000);
    CHECK(row["grace_left_ms"] == 7'200'000);
    CHECK(row["stale"] == false);
  }
  CHECK(oncectl({"put", "g", "--ttl", "none", "--grace", "none", "--refresh-ahead", "none"}, {.input = "x"}).status == 0);
  CHECK_FALSE(row_of(oncectl, "g").contains("ttl_left_ms"));
}

TEST_CASE("a value past its time is shown as stale, and still found within its grace") {
  const Oncectl oncectl;
  CHECK(oncectl({"put", "f", "--ttl", "1ms", "--grace", "1h"}, {.input = "old"}).status == 0);
  wait_until([&] { return row_of(oncectl, "f")["stale"] == true; }, "the value to become stale");
  CHECK(oncectl({"ls"}).out.find("\nstale ") != std::string::npos);
  const Outcome plain = oncectl({"get", "f"});
  CHECK(plain.out == "old");
  CHECK(plain.status == 0);
  CHECK(contains(plain.err, "this value is stale, "));
  const json line = parsed(oncectl({"get", "f", "--json"}).out);
  CHECK(line["stale"] == true);
  CHECK(line["text"] == "old");
  CHECK(line["version"] == row_of(oncectl, "f")["version"]);
  CHECK(line["age_ms"].is_number_unsigned());
  CHECK(contains(oncectl({"explain", "f"}).out, "f(): stale\n"));
  CHECK(parsed(oncectl({"explain", "f", "--json"}).out)["stale"] == true);
}

TEST_CASE("of a fresh value get says nothing but its bytes, and in JSON that it is fresh") {
  const Oncectl oncectl;
  oncectl.put("f", "[]", "new");
  const Outcome plain = oncectl({"get", "f"});
  CHECK(plain.out == "new");
  CHECK(plain.err.empty());
  CHECK(parsed(oncectl({"get", "f", "--json"}).out)["stale"] == false);
}

TEST_CASE("run gives a stale result while another run renews it, and says so when asked to be verbose") {
  const Oncectl oncectl;
  const TempDirectory directory;
  const std::string gate = (directory / "gate").string();
  REQUIRE(::mkfifo(gate.c_str(), 0600) == 0);
  // The first run ends at once; the second one, who renews, when somebody opens the gate.
  const std::string script = "if [ -e " + gate + ".ran ]; then cat " + gate + "; fi; touch " + gate + ".ran; echo done";
  const auto arguments = [&](bool verbose) {
    std::vector<std::string> words{"run", "--name", "n", "--ttl", "1ms", "--grace", "1h"};
    if (verbose) words.push_back("--verbose");
    words.insert(words.end(), {"--", "sh", "-c", script});
    return words;
  };
  CHECK(oncectl(arguments(false)).out == "done\n");
  wait_until([&] { return row_of(oncectl, "run:n")["stale"] == true; }, "the result to become stale");
  std::thread renewing([&] { CHECK(oncectl(arguments(false)).out == "done\n"); });
  wait_until([&] { return row_of(oncectl, "run:n")["state"] == "computing"; }, "another run to begin");
  const Outcome quiet = oncectl(arguments(false));
  const Outcome told = oncectl(arguments(true));
  std::ofstream(gate).close();
  renewing.join();
  CHECK(quiet.out == "done\n");
  CHECK(quiet.err.empty());
  CHECK(told.out == "done\n");
  CHECK(contains(told.err, "it is stale, and pid "));
  CHECK(contains(told.err, "(oncectl) renews it\n"));
}

TEST_CASE("a soft invalidation makes values stale and says how many, a hard one drops them") {
  const Oncectl oncectl;
  for (const char* arguments : {"[1]", "[2]"}) oncectl.put("f", arguments, "old");
  oncectl.put("g", "[]", "old");
  oncectl.put("h", "[]", "old");
  CHECK(oncectl({"invalidate", "f", "[1]", "--soft"}).out == "1 value made stale\n");
  CHECK(oncectl({"get", "f", "[1]"}).out == "old");
  CHECK(row_of(oncectl, "g")["stale"] == false);
  CHECK(oncectl({"invalidate", "g", "--soft"}).out == "1 value made stale\n");
  CHECK(row_of(oncectl, "g")["stale"] == true);
  CHECK(row_of(oncectl, "h")["stale"] == false);
  CHECK(oncectl({"invalidate", "--all", "--soft"}).status == 0);
  const auto rows = lines_of(oncectl({"ls", "--json"}).out);
  CHECK(rows.size() == 4);
  for (const json& row : rows) CHECK(row["stale"] == true);
  CHECK(oncectl({"get", "h"}).out == "old");
  CHECK(oncectl({"invalidate", "g"}).out == "1 value dropped\n");
  CHECK(oncectl({"get", "g"}).status == 1);
}

TEST_CASE("explain says that a value was invalidated softly, when and by whom, as distinct from its time being over") {
  const Oncectl oncectl;
  const auto explained = [&](const std::string& function) { return parsed(oncectl({"explain", function, "--json"}).out); };
  oncectl.put("softened", "[]", "old");
  CHECK_FALSE(explained("softened").contains("stale_because"));
  CHECK_FALSE(explained("softened").contains("invalidated_softly"));
  CHECK(oncectl({"invalidate", "softened", "--soft"}).status == 0);
  CHECK(contains(oncectl({"explain", "softened"}).out, "stale because it was invalidated softly "));
  CHECK(contains(oncectl({"explain", "softened"}).out, " ago by pid "));
  json line = explained("softened");
  CHECK(line["stale_because"] == "invalidated");
  CHECK(contains(line["invalidated_softly"]["by"].get<std::string>(), "(oncectl)"));
  CHECK(line["invalidated_softly"]["ago_ms"].is_number_unsigned());
  CHECK(line["stale_ms"].is_number_unsigned());
  CHECK(contains(oncectl({"get", "softened"}).err, "invalidated softly by pid "));

  CHECK(oncectl({"put", "old", "--ttl", "1ms", "--grace", "1h"}, {.input = "x"}).status == 0);
  wait_until([&] { return row_of(oncectl, "old")["stale"] == true; }, "the value to become stale");
  CHECK(explained("old")["stale_because"] == "time");
  CHECK(contains(oncectl({"explain", "old"}).out, "stale because its time-to-live was over"));
  CHECK(oncectl({"invalidate", "old", "--soft"}).status == 0);
  line = explained("old");
  CHECK(line["stale_because"] == "time");
  CHECK(line.contains("invalidated_softly"));
  CHECK(contains(oncectl({"explain", "old"}).out, ", when it was stale already"));
  oncectl.put("softened", "[]", "new");
  CHECK_FALSE(explained("softened").contains("invalidated_softly"));
}

TEST_CASE("explain tells programs what a value was computed from, and what has become of that") {
  const Oncectl oncectl;
  Client client = oncectl.client();
  const Key source = *KeyBuilder("source", "v1").add("north").build();
  const Key chart = *KeyBuilder("chart").build();
  const Key page = *KeyBuilder("page").build();
  REQUIRE(client.put(source.bytes(), "1").ok());
  const auto computed_from = [&](const Key& key, const Key& upstream) {
    return client.get_or_compute(key, {}, [&](Computation&) { return std::string(client.peek(upstream)->text()); }).ok();
  };
  REQUIRE(computed_from(chart, source));
  REQUIRE(computed_from(page, chart));
  const auto explained = [&](const std::string& function) { return parsed(oncectl({"explain", function, "--json"}).out); };
  json line = explained("chart");
  REQUIRE(line["depends_on"].size() == 1);
  CHECK(line["depends_on_count"] == 1);
  CHECK(line["dependants"] == 1);
  json upstream = line["depends_on"][0];
  CHECK(upstream["function"] == "source");
  CHECK(upstream["function_version"] == "v1");
  CHECK(upstream["arguments"] == parsed(R"(["north"])"));
  CHECK(upstream["state"] == "current");
  CHECK(upstream["present"] == true);
  const auto version = upstream["version"];
  CHECK_FALSE(upstream.contains("happened"));
  REQUIRE(client.put(source.bytes(), "2").ok());
  line = explained("page");
  CHECK(line["stale_because"] == "upstream");
  upstream = line["depends_on"][0];
  CHECK(upstream["function"] == "chart");
  CHECK(upstream["state"] == "outdated");
  CHECK(upstream["present"] == true);
  CHECK(contains(upstream["happened"].get<std::string>(), "was replaced by pid "));
  CHECK(upstream["happened_to"]["function"] == "source");
  upstream = explained("chart")["depends_on"][0];
  CHECK(upstream["state"] == "outdated");
  CHECK(upstream["present"] == false);
  CHECK(upstream["version"] == version);
  CHECK_FALSE(upstream.contains("happened_to"));
  CHECK(explained("source")["depends_on"].empty());
}

TEST_CASE("wait says at once that there is a stale value, and goes on to wait for a fresh one or takes it") {
  const Oncectl oncectl;
  oncectl.put("f", "[]", "old");
  CHECK(oncectl({"wait", "f"}).err.empty());
  CHECK(parsed(oncectl({"wait", "f", "--json"}).out)["stale"] == false);
  CHECK(oncectl({"invalidate", "f", "--soft"}).status == 0);
  Command waiting(oncectl.words({"wait", "f", "--print"}));
  wait_until([&] { return contains(waiting.err(), "there is a value, but it is stale, "); }, "the note");
  CHECK(contains(waiting.err(), ", invalidated softly by pid "));
  CHECK(contains(waiting.err(), "--accept-stale"));
  for (const auto& words : {std::vector<std::string>{"wait", "f", "--accept-stale"}, {"wait", "f", "--accept-stale", "--print"}}) {
    const Outcome outcome = oncectl(words);
    CHECK(outcome.status == 0);
    CHECK(outcome.out == (words.size() == 4 ? "old" : ""));
    CHECK(contains(outcome.err, "this value is stale, "));
    CHECK(contains(outcome.err, "; the next one who computes it renews it\n"));
  }
  const json line = parsed(oncectl({"wait", "f", "--accept-stale", "--json"}).out);
  CHECK(line["stale"] == true);
  CHECK(line["age_ms"].is_number_unsigned());
  Client client = oncectl.client();
  auto lease = client.acquire(*KeyBuilder("f").build());
  REQUIRE(std::holds_alternative<Computation>(*lease));
  CHECK(contains(oncectl({"get", "f"}).err, "(gunicorn) renews it\n"));
  CHECK(std::get<Computation>(*lease).publish("new").ok());
  CHECK(waiting.wait() == 0);
  CHECK(waiting.out() == "new");
}

TEST_CASE("a tag drops the values that were put or computed with it, and no others") {
  const Oncectl oncectl;
  CHECK(oncectl({"put", "f", "--tag", "north", "--tag", "sales"}, {.input = "x"}).status == 0);
  CHECK(oncectl({"run", "--name", "n", "--tag", "north", "--", "true"}).status == 0);
  CHECK(oncectl({"put", "g", "--tag", "south"}, {.input = "x"}).status == 0);
  CHECK(contains(oncectl({"explain", "f"}).out, "north"));
  CHECK(oncectl({"invalidate", "--tag", "north", "--soft"}).out == "2 values made stale\n");
  CHECK(oncectl({"invalidate", "--tag", "north"}).out == "2 values dropped\n");
  CHECK(oncectl({"get", "f"}).status == 1);
  CHECK(oncectl({"get", "g"}).status == 0);
  CHECK(oncectl({"invalidate", "--tag", "north", "g"}).status == 2);
  CHECK(oncectl({"invalidate", "--tag", "north", "--all"}).status == 2);
}

TEST_CASE("a new version of a function takes the place of the older one when it is told to") {
  const Oncectl oncectl;
  for (const char* version : {"v1", "v2"}) CHECK(oncectl({"put", "f", "--function-version", version}, {.input = version}).status == 0);
  CHECK(oncectl({"get", "f", "--function-version", "v1"}).out == "v1");
  CHECK(oncectl({"put", "f", "--function-version", "v3", "--retire-older"}, {.input = "v3"}).status == 0);
  CHECK(oncectl({"get", "f", "--function-version", "v1"}).status == 1);
  CHECK(oncectl({"get", "f", "--function-version", "v2"}).status == 1);
  CHECK(oncectl({"get", "f", "--function-version", "v3"}).out == "v3");
}

TEST_CASE("what is no time or no factor is a usage error that names the option") {
  const Oncectl oncectl;
  for (const char* option : {"--ttl", "--grace", "--refresh-ahead"}) {
    CAPTURE(option);
    for (const char* word : {"soon", "-1"}) {
      const Outcome outcome = oncectl({"put", "f", std::string(option) + "=" + word}, {.input = "x"});
      CHECK(outcome.status == 2);
      CHECK(contains(outcome.err, std::string(option) + " " + word));
    }
  }
  CHECK(oncectl({"run", "--grace", "soon", "--", "true"}).status == 2);
}

}  // namespace onced::testing
