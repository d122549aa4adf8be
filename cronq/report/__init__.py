"""What a tick tells machines: its cases as JUnit, in a runner's own forms, and as a verdict; purely."""
