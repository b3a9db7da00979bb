#include "blob_contents.hpp"

namespace onced::simulation {

std::string BlobContents::text_of(const Parts& parts) {
  const auto has_blob = [](const protocol::Part& part) { return part.blob != 0 && part.length > 0; };
  if (parts.size() == 1 && parts.front().name.empty() && !has_blob(parts.front())) return parts.front().bytes;
  std::string text;
  for (const protocol::Part& part : parts) {
    text += part.name + "=" + part.bytes;
    if (has_blob(part)) {
      const Place place = of(part.blob, part.offset);
      text += std::to_string(place.content) + "+" + std::to_string(place.offset) + "," + std::to_string(part.length);
    }
    text += ";";
  }
  return text;
}

}  // namespace onced::simulation
