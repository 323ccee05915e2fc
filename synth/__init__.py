"""voice-synth: text to speech on one machine, with exchangeable engines. Knows neither Redis nor S3 nor boxes."""
