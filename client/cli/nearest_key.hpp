// Which existing entry of the same function is most like a key that is missing, and how the two differ: for people who
// wonder why something was a miss.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <onced/client.hpp>
#include <onced/protocol/key.hpp>
#include <onced/protocol/messages.hpp>

#include "key_words.hpp"
#include "reach.hpp"

namespace onced::cli {

// One argument, as JSON texts; empty: it is not there on that side.
struct ArgumentDifference {
  std::string path;   // JSON pointer into the arguments: "/1", "/fruit", of a run "/words/2"; empty: one is an array, the other an object
  std::string asked;
  std::string there;
  friend bool operator==(const ArgumentDifference&, const ArgumentDifference&) = default;
};

// What people call the arguments: the top level only. Of a run's (run_key.hpp) its single words, variables and inputs, too. Both are an array or an
// object.
enum class Arguments : std::uint8_t { plain, of_run };
std::vector<ArgumentDifference> differences_of(const Json& asked, const Json& there, Arguments kind = Arguments::plain);

class NearestKey {
 public:
  explicit NearestKey(const Key& asked);

  // Values and computations of the same function count, whatever their version. Order does not matter, except among equals.
  void look_at(const protocol::ListRow& row);
  void set_complete(bool complete) { complete_ = complete; }

  // Versions under which the same arguments have a value or a computation; "" is none.
  const std::vector<std::string>& versions() const { return versions_; }
  // For people, escaped: "there is one of version v1 (--function-version v1)", or the nearest entry and its differences,
  // or that there is nothing of the function.
  std::vector<std::string> lines() const;
  // Fields "other_versions" and, when there is one, "nearest".
  Json json() const;

  static constexpr std::size_t versions_told_max = 8;
  static constexpr std::size_t differences_told_max = 3;

 private:
  struct Found {
    std::string key;
    std::vector<ArgumentDifference> differences;
    std::size_t distance = 0;
  };

  Key asked_;
  Json arguments_;
  Arguments kind_;
  std::size_t looked_at_ = 0;
  bool complete_ = true;
  std::vector<std::string> versions_;
  std::optional<Found> nearest_;
};

// Looks through the function's entries, the first few thousand of them: set_complete() says whether that was all.
Result<NearestKey> find_nearest(Reach& reach, const Key& asked);

}  // namespace onced::cli
