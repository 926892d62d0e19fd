"""Any program under the project's emulator plugin: what it touched, and how well its pages compress."""
