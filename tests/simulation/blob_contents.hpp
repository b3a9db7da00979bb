// What is in blobs, so that a value is known again when the disk brings its bytes back in other ones.
//
// Nobody looks at the bytes themselves: contents are numbers. What a client has filled is new, and never comes again, whatever number the blob has;
// what the disk fills has the content that was put.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include <onced/protocol/messages.hpp>

namespace onced::simulation {

using Parts = std::vector<protocol::Part>;

class BlobContents {
 public:
  // A stretch of a content; it begins with what is at its offset.
  struct Place {
    std::uint64_t content = 0;
    std::uint64_t offset = 0;
  };

  // A new daemon counts blobs anew.
  void forget_blobs() { places_.clear(); }
  Place of(std::uint64_t blob, std::uint64_t offset) {
    const auto [at, is_new] = places_.try_emplace(blob);
    if (is_new) at->second = {++last_content_, 0};
    return {at->second.content, at->second.offset + offset};
  }
  void fill(std::uint64_t blob, Place with) { places_[blob] = with; }

  // A value in one text, so that two can be compared.
  std::string text_of(const Parts& parts);

 private:
  std::map<std::uint64_t, Place> places_;  // of the present daemon's blobs
  std::uint64_t last_content_ = 0;
};

}  // namespace onced::simulation
