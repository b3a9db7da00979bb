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

json row_of(const Oncectl& oncectl, const std::string& function) { return json::parse(oncectl({"ls", function, "--json"}).out); }

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
  const json line = json::parse(oncectl({"get", "f", "--json"}).out);
  CHECK(line["stale"] == true);
  CHECK(line["text"] == "old");
  CHECK(line["version"] == row_of(oncectl, "f")["version"]);
  CHECK(line["age_ms"].is_number_unsigned());
  CHECK(contains(oncectl({"explain", "f"}).out, "f(): stale\n"));
  CHECK(json::parse(oncectl({"explain", "f", "--json"}).out)["stale"] == true);
}

TEST_CASE("of a fresh value get says nothing but its bytes, and in JSON that it is fresh") {
  const Oncectl oncectl;
  oncectl.put("f", "[]", "new");
  const Outcome plain = oncectl({"get", "f"});
  CHECK(plain.out == "new");
  CHECK(plain.err.empty());
  CHECK(json::parse(oncectl({"get", "f", "--json"}).out)["stale"] == false);
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
  CHECK(contains(told.err, "it is stale, and somebody else renews it"));
}

TEST_CASE("a soft invalidation makes values stale and says how many, a hard one drops them") {
  const Oncectl oncectl;
  for (const char* arguments : {"[1]", "[2]"}) oncectl.put("f", arguments, "old");
  oncectl.put("g", "[]", "old");
  CHECK(oncectl({"invalidate", "f", "[1]", "--soft"}).out == "1 value made stale\n");
  CHECK(oncectl({"get", "f", "[1]"}).out == "old");
  CHECK(row_of(oncectl, "g")["stale"] == false);
  CHECK(oncectl({"invalidate", "g", "--soft"}).out == "1 value made stale\n");
  CHECK(row_of(oncectl, "g")["stale"] == true);
  CHECK(oncectl({"invalidate", "--all", "--soft"}).status == 0);
  CHECK(oncectl({"invalidate", "g"}).out == "1 value dropped\n");
  CHECK(oncectl({"get", "g"}).status == 1);
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
